#!/bin/sh
# Caffe's parse_log.sh: 'caffelite help parse_log' tells about it.
exec "${PYTHON:-python3}" "$(dirname "$0")/parse_log.py" --columns "$@"
