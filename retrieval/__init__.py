"""Questions and answers over a collection, and how good the answers are. numpy only."""

from .hybrid import Hybrid
from .query import Hit, Imagine, Query, Term
from .retriever import Retriever

__all__ = ["Hit", "Hybrid", "Imagine", "Query", "Retriever", "Term"]
