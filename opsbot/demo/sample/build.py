"""The sample service's install step: fetches the packages in packages.txt."""

import sys
from pathlib import Path

SHELF = {"greetings": "1.4", "clock": "2.0", "colours": "0.9"}

vendor = Path("vendor")
vendor.mkdir(exist_ok=True)
for line in Path("packages.txt").read_text().split():
    name, _, version = line.partition("==")
    print(f"fetching {name} {version}", flush=True)
    if SHELF.get(name) != version:
        print(f"ERROR no matching distribution found for {line} (from versions: {SHELF.get(name, 'none')})", flush=True)
        sys.exit(1)
    (vendor / f"{name}.py").write_text(f'VERSION = "{version}"\n')
print("all packages are there", flush=True)
