/** 7. Real networks: recorded runs, the gallery, depth against width, and what limits depth besides memory. */
import type { ExplainData } from "./data";
import { GalleryFigure } from "./Gallery";
import { LimitFigure } from "./Limit";
import { RealRuns } from "./RealRuns";
import { WidthFigure } from "./Width";

export function Real({ data }: { data: ExplainData }) {
  return (
    <>
      {data.runs && <RealRuns runs={data.runs} />}
      {data.gallery && <GalleryFigure gallery={data.gallery} />}
      {data.widths && <WidthFigure widths={data.widths} />}
      <LimitFigure />
    </>
  );
}
