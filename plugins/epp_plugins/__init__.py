"""The built-in plugins, one a file, by what they are. They import `epp.plugin` and nothing else of the picker."""
