"""The web page: `compute` makes saved forms out of requests, `page` wires them to widgets, `server` serves both.

Only `page` and `server` know Gradio; everything that they show is drawn by `narrows.viz` from the saved form.
"""
