"""Takes LibTorch for CPU builds out of wheels: unpack_libtorch.py WHEEL... FOLDER.

FOLDER gets include/, lib/ and licenses/. Python files and the libraries that only CUDA builds need stay behind.
"""
import pathlib
import re
import sys
import zipfile

CUDA_OR_PYTHON_ONLY = re.compile(
    r"lib(torch_cuda\w*|torch_nvshmem|c10_cuda|caffe2_nvrtc|torch_python|torch|torch_global_deps|shm)\.so"
)
RUNTIME = re.compile(r"lib(cudart|cupti)\.so\.\d+")


def destination(member: str):
    """Where a wheel's member goes inside FOLDER; None leaves it out."""
    path = pathlib.PurePosixPath(member)
    if ".." in path.parts or path.is_absolute():
        raise SystemExit(f"unpack_libtorch: the wheel holds an unsafe path: {member}")
    if member.endswith("/"):
        return None
    if path.parts[:2] == ("torch", "include"):
        return pathlib.PurePosixPath(*path.parts[1:])
    if path.parts[:2] == ("torch", "lib") and len(path.parts) == 3 and ".so" in path.name:
        return None if CUDA_OR_PYTHON_ONLY.fullmatch(path.name) else pathlib.PurePosixPath("lib", path.name)
    if path.parts[0] == "nvidia" and path.parent.name == "lib" and RUNTIME.fullmatch(path.name):
        return pathlib.PurePosixPath("lib", path.name)
    if path.parts[0].endswith(".dist-info") and re.match(r"(licen[sc]e|notice)", path.name, re.IGNORECASE):
        return pathlib.PurePosixPath("licenses", path.parts[0].split("-")[0], path.name)
    return None


def main() -> None:
    *wheels, folder = sys.argv[1:]
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                place = destination(member.filename)
                if place is None:
                    continue
                target = pathlib.Path(folder, place)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(target, "wb") as sink:
                    while block := source.read(1 << 22):
                        sink.write(block)
                if place.parts[0] == "lib":
                    target.chmod(0o755)
    for name in ("libtorch_cpu.so", "libc10.so", "libcudart.so.13", "libcupti.so.13"):
        if not pathlib.Path(folder, "lib", name).is_file():
            raise SystemExit(f"unpack_libtorch: no {name} in the wheels: {' '.join(wheels)}")


if __name__ == "__main__":
    main()
