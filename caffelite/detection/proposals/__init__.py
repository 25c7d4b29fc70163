"""Region proposals: boxes in which an object of any class may be, found without a net of ours.

Each method takes an image (H, W, 3) uint8, B, G, R, and gives boxes float32 (K, 4), in pixels from 0, both corners inside,
and scores float32 (K,), best first.
"""

from caffelite.detection.proposals.files import Proposals, read_proposals, write_proposals
from caffelite.detection.proposals.methods import METHODS, propose, propose_all
from caffelite.detection.proposals.recall import recall_of

__all__ = ["METHODS", "Proposals", "propose", "propose_all", "read_proposals", "recall_of", "write_proposals"]
