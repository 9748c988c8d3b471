"""What a type checker must accept of the node library."""

from pathlib import Path

from sdgraph import Checkpoint, Node, run
from sdgraph.nodes import (
    Canny,
    ControlNet,
    DepthEstimate,
    DepthToImage,
    Inpaint,
    LoadImage,
    LoadVideo,
    Mask,
    NormalsFromDepth,
    PoseEstimate,
    Resize,
    Save,
    SaveVideo,
    Scribble,
    Text2Image,
    Text2Video,
    Turbo,
)
from sdgraph.values import DepthMap, EdgeMap, Image, Video

photo = LoadImage(path="man.png")
mask = Mask(image=photo, box=[0, 0, 8, 8])
edges = Canny(image=photo, low=10, high=250)
depth = DepthEstimate(image=photo)

twice: Node[EdgeMap] = Canny(image=edges)
Resize(image=edges, width=64, height=64)
Turbo(prompt="a", image=edges)
ControlNet(prompt="a", control=edges)
ControlNet(prompt="a", control=[edges, depth], scale=[0.5, 1.0])
ControlNet(prompt="a", control=edges, controlnet=Checkpoint("tiny/controlnet-edges"))
DepthToImage(prompt="a", image=photo, depth=depth)
maps = [PoseEstimate(image=photo, count=1), Scribble(image=photo), NormalsFromDepth(depth=depth)]
ControlNet(prompt="a", control=maps)
painted = Inpaint(prompt="a", image=photo, mask=mask, checkpoint=Checkpoint("tiny/inpaint"))
Save(image=painted, path=Path("out.png"))
Save(image=mask, path="mask.png")
SaveVideo(video=Text2Video(prompt="a", seconds=3, fps=25), path="out.mp4")
SaveVideo(video=LoadVideo(path="in.mp4"), path="out.gif")

result: Image = run(Text2Image(prompt="a", scheduler="dpm++", offload="model"))
video: Video = run(Text2Video(prompt="a"))
near: DepthMap = run(depth)
saved: Path = run(Save(image=painted, path="out.png"))
