"""The web page: `session` computes, `page` wires it to widgets, `server` serves both; `narrows.viz` draws it all."""
