"""The warm process (`qrank serve`): a daemon that runs commands with everything loaded."""
