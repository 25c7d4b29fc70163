"""R-CNN: regions are cut out of the image, a net looks at each, and linear SVMs say what is in it.

Girshick et al., "Rich feature hierarchies for accurate object detection and semantic segmentation" (2014).
"""
