"""Unit files for systemd and launchd, which start the warm process when the user logs in."""

from __future__ import annotations

import shlex
from xml.sax.saxutils import escape

SYSTEMD = """\
# ~/.config/systemd/user/qrank.service; then: systemctl --user enable --now qrank
[Unit]
Description=qrank: searches and models kept warm

[Service]
ExecStart={command}
Restart=on-failure
UMask=0077

[Install]
WantedBy=default.target
"""
LAUNCHD = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- ~/Library/LaunchAgents/qrank.plist; then: launchctl load ~/Library/LaunchAgents/qrank.plist -->
<plist version="1.0">
<dict>
  <key>Label</key><string>qrank</string>
  <key>ProgramArguments</key>
  <array>
{words}
  </array>
  <key>RunAtLoad</key><true/>
</dict>
</plist>
"""


def unit(kind: str, program: str, options: list[str]) -> str:
    """The content of the file. kind: systemd or launchd; program: the path of qrank; options: of
    `qrank serve`."""
    words = [program, "serve", "--foreground", *options]
    if kind == "launchd":
        lines = (f"    <string>{escape(word)}</string>" for word in words)
        return LAUNCHD.format(words="\n".join(lines))
    # % and $ are special in systemd's files.
    command = shlex.join(words).replace("%", "%%").replace("$", "$$")
    return SYSTEMD.format(command=command)
