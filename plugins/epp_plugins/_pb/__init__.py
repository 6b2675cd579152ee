"""Generated from ``protos/`` by ``make protos``; checked in, never edited by hand."""
