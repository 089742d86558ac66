"""The web page: `session` computes what a request asks for, `page` wires it to widgets, `server` serves both.

Only `page`, `controls` and `server` know Gradio; `narrows.viz` draws everything they show from the records.
"""
