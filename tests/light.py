"""What importing a module loads besides."""

import subprocess
import sys


def import_footprint(module: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has loaded after `import module`."""
    code = f"import sys, {module}; print(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())
