"""The bot that is deployed: Node.js with a webhook port and a tiny local dependency, in a repository behind HTTP."""

import json
from pathlib import Path

from tests.fixtures.sample import Remote

INDEX = """\
const fs = require("node:fs");
const http = require("node:http");
const tiny = require("tiny");
const { version, ...behaviour } = require("./behaviour.json");

// What people break on a live host: a file in its data says that it cannot work.
if (fs.existsSync("data/broken")) {
  console.error("ERROR the data cannot be read");
  process.exit(4);
}
let alive = true;
const server = http.createServer((request, response) => {
  if (request.url === "/close" && request.method === "POST") {
    response.end("closing\\n");
    server.close();
    server.closeAllConnections();
    return;
  }
  response.statusCode = behaviour.status || 200;
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({ version, dependency: tiny(), user: process.getuid(), folder: __dirname }));
});
server.listen(Number(process.env.WEBHOOK_PORT), "127.0.0.1", () => console.log("listening, version", version));
// Like a gateway connection: it keeps the process alive whatever the port does.
setInterval(() => alive, 1000);
"""


class Bot:
    """Its repository. Each version is a commit that is pushed at once."""

    def __init__(self, folder: Path) -> None:
        """An empty repository in `folder`, as `remote.git`."""
        self.remote = Remote(folder)

    def version(self, number: int, dependency: int, **behaviour: object) -> str:
        """A new version, with that version of its dependency; the commit's id."""
        lock = {
            "name": "voice-meeting-bot",
            "version": "1.0.0",
            "lockfileVersion": 3,
            "requires": True,
            "packages": {
                "": {
                    "name": "voice-meeting-bot",
                    "version": "1.0.0",
                    "dependencies": {"tiny": f"file:tiny-{dependency}"},
                },
                "node_modules/tiny": {"resolved": f"tiny-{dependency}", "link": True},
                f"tiny-{dependency}": {"name": "tiny", "version": f"{dependency}.0.0"},
            },
        }
        package = {
            "name": "voice-meeting-bot",
            "version": "1.0.0",
            "dependencies": {"tiny": f"file:tiny-{dependency}"},
        }
        tiny = {"name": "tiny", "version": f"{dependency}.0.0", "main": "index.js"}
        files = {
            "index.js": INDEX,
            "package.json": json.dumps(package, indent=2),
            "package-lock.json": json.dumps(lock, indent=2),
            "behaviour.json": json.dumps({"version": number, **behaviour}),
            f"tiny-{dependency}/package.json": json.dumps(tiny),
            f"tiny-{dependency}/index.js": f'module.exports = () => "tiny {dependency}";\n',
        }
        return self.remote.commit({f"node-bot/{name}": text for name, text in files.items()}, f"Version {number}")
