"""Questions and answers over a collection, and how good the answers are. numpy only."""
