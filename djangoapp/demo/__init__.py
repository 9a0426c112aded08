"""A chat of a few rooms: what a Django project with Roomline looks like."""
