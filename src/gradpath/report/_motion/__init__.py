"""Pictures that move: a circuit's walk as frames of 16:9, as an SVG that plays by itself, as GIF, MP4 and PNG."""

from gradpath.report._motion._film import frame as frame
from gradpath.report._motion._film import frame_texts as frame_texts
from gradpath.report._motion._moving import moving_svg as moving_svg
from gradpath.report._motion._moving import picture_svg as picture_svg
from gradpath.report._motion._raster import circuit_gif as circuit_gif
from gradpath.report._motion._raster import circuit_mp4 as circuit_mp4
from gradpath.report._motion._raster import circuit_png as circuit_png
from gradpath.report._motion._raster import gif as gif
from gradpath.report._motion._raster import mp4 as mp4
from gradpath.report._motion._raster import png as png
from gradpath.report._motion._shots import Shots as Shots
from gradpath.report._motion._shots import truck_shots as truck_shots
from gradpath.report._motion._shots import walk_shots as walk_shots
from gradpath.report._motion._truck import truck_frame as truck_frame
from gradpath.report._motion._truck import truck_svg as truck_svg
