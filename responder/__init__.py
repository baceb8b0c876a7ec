"""The daemon behind the box: accepts sessions and answers on them."""
