"""``disagg-headers-handler``: once set the headers that ``disagg-profile-handler`` sets itself."""


class DisaggHeadersHandler:
    """Does nothing. Files of the Go pickers name it; the profile handler tells who does which part of the work."""
