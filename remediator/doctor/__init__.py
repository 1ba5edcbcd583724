"""`remediator doctor`: whether everything that the settings name is there and permitted."""
