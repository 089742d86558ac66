"""The web page: `server` serves it, `desk` answers what it asks; `narrows.viz` draws it all."""
