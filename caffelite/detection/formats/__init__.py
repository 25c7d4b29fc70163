"""The file formats of detection data. Each module reads one into records; ``records`` makes pictures of them."""
