"""What a type checker must refuse of the node library: every line marked so, and no other."""

from sdgraph import run
from sdgraph.nodes import (
    Canny,
    ControlNet,
    DepthEstimate,
    DepthToImage,
    Inpaint,
    LoadImage,
    Mask,
    NormalsFromDepth,
    PoseDraw,
    Save,
    SaveVideo,
    Text2Image,
    Text2Video,
)
from sdgraph.values import Mask as MaskValue

photo = LoadImage(path="man.png")
mask = Mask(image=photo, box=[0, 0, 8, 8])
edges = Canny(image=photo)

Canny(image=mask)  # error
Canny(image="man.png")  # error
Canny(image=photo, low="10")  # error
Canny(image=photo, lo=10)  # error
Canny()  # error
ControlNet(prompt="a", control=photo)  # error
ControlNet(prompt="a", control=[edges, photo])  # error
ControlNet(prompt="a", control=edges, scale="strong")  # error
DepthToImage(prompt="a", image=photo, depth=edges)  # error
NormalsFromDepth(depth=photo)  # error
PoseDraw(people=[{"tail": [1.0, 1.0]}])  # error
Inpaint(prompt="a", image=photo, mask=photo)  # error
Inpaint(prompt="a", image=mask, mask=mask)  # error
Inpaint(image=photo, mask=mask)  # error
Save(image=Text2Video(prompt="a"), path="out.png")  # error
Save(image=Save(image=photo, path="a.png"), path="b.png")  # error
SaveVideo(video=photo, path="out.mp4")  # error
Text2Image(prompt=photo)  # error
Text2Image(prompt="a", scheduler="eulr")  # error
Text2Image(prompt="a", offload="all")  # error
DepthEstimate(picture=photo)  # error
result: MaskValue = run(Text2Image(prompt="a"))  # error
