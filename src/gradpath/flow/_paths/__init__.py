"""The gradient at one tensor by the length of the paths it took."""
