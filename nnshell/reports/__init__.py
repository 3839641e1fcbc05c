"""Tables as data: every report the shell prints, the API returns and tutorials check."""
