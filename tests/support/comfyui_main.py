"""ComfyUI's `main.py`, also beside a torchvision of another build than PyTorch's: `comfyui_main.py FOLDER OPTIONS…`."""

import os
import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
from loadtest.kit.torchvisions import import_torchvision

if __name__ == "__main__":
    import_torchvision()
    folder = sys.argv[1]
    sys.path[:2] = [folder]  # in place of this folder and the repository
    sys.argv = [f"{folder}/main.py", *sys.argv[2:]]
    os.chdir(folder)
    runpy.run_path(sys.argv[0], run_name="__main__")
