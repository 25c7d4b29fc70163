"""Renews caffelite/prototxt/caffe.desc from proto/caffe.proto.

    python tools/compile_proto.py            write the descriptor set
    python tools/compile_proto.py --check    only say whether it is fresh (exit status 1 if not)

Needs grpcio-tools, which carries protoc; neither is needed to use caffelite.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCE = REPOSITORY / "proto" / "caffe.proto"
TARGET = REPOSITORY / "caffelite" / "prototxt" / "caffe.desc"


def compile_descriptors(source: Path = SOURCE) -> bytes:
    """The serialized FileDescriptorSet of a .proto file. Raises SystemExit with protoc's status on errors."""
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "caffe.desc"
        status = protoc.main(["protoc", f"-I{source.parent}", f"--descriptor_set_out={output}", str(source)])
        if status:
            raise SystemExit(status)
        return output.read_bytes()


def is_fresh(compiled: bytes, target: Path = TARGET) -> bool:
    """Whether the committed set describes the same messages (bytes may differ between protoc versions)."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    read = FileDescriptorSet.FromString
    return target.is_file() and read(target.read_bytes()) == read(compiled)


def main() -> int:
    """Writes the set if it is stale; the exit status."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    compiled = compile_descriptors()
    fresh = is_fresh(compiled)
    if not fresh and not check:
        TARGET.write_bytes(compiled)
    print(f"{TARGET.name}: " + ("up to date" if fresh else "stale" if check else "written"))
    return int(check and not fresh)


if __name__ == "__main__":
    sys.exit(main())
