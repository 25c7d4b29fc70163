"""How good detections are: average precision as PASCAL VOC and COCO define it, mistakes by class and by picture."""

from caffelite.detection.evaluation.report import ClassResult, Report, evaluate

__all__ = ["ClassResult", "Report", "evaluate"]
