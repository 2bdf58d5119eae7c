"""The webhook's other end: sink.py PORT FILE writes one line of JSON for each alert that a message tells of."""
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Sink(BaseHTTPRequestHandler):
    """Takes every message"""

    def do_POST(self) -> None:
        """One message"""
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(sys.argv[2], "a") as file:
            for each in message["alerts"]:
                print(json.dumps({"at": time.time(), "path": self.path, "status": each["status"], **each["labels"]}),
                      file=file)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments) -> None:
        """Say nothing"""


ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Sink).serve_forever()
