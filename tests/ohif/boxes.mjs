// What OHIF would draw of a structured report: `node boxes.mjs report.dcm` prints JSON.
//
// The same call as in OHIF's viewer, @cornerstonejs/adapters' generateToolState. The plane of the
// image is set so that a point in the world is the point in the image's pixels (its first pixel's
// centre lies half a pixel from the corner).
import { readFileSync } from 'node:fs'

import { adaptersSR } from '@cornerstonejs/adapters'
import { metaData } from '@cornerstonejs/core'
import dcmjs from 'dcmjs'

const IMAGE_ID = 'image'
const plane = {
  frameOfReferenceUID: '1.2.3',
  imageOrientationPatient: [1, 0, 0, 0, 1, 0],
  imagePositionPatient: [0.5, 0.5, 0],
  rowCosines: [1, 0, 0],
  columnCosines: [0, 1, 0],
  rowPixelSpacing: 1,
  columnPixelSpacing: 1,
}
metaData.addProvider((type) => (type === 'imagePlaneModule' ? plane : undefined))

const bytes = readFileSync(process.argv[2])
const file = dcmjs.data.DicomMessage.readFile(
  bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
)
const report = dcmjs.data.DicomMetaDictionary.naturalizeDataset(file.dict)
const [source] = [report.CurrentRequestedProcedureEvidenceSequence].flat()
const [series] = [source.ReferencedSeriesSequence].flat()
const [image] = [series.ReferencedSOPSequence].flat()
const images = { [`${image.ReferencedSOPInstanceUID}:1`]: IMAGE_ID }

const drawn = adaptersSR.Cornerstone3D.MeasurementReport.generateToolState(report, images, metaData)
const boxes = Object.entries(drawn).flatMap(([tool, measurements]) =>
  measurements.map((one) => ({
    tool,
    finding: one.finding?.CodeMeaning,
    label: one.annotation.data.label,
    points: one.annotation.data.handles.points.map((point) => [point[0], point[1]]),
    tracking: one.TrackingUniqueIdentifier,
    image: one.sopInstanceUid,
  })),
)
process.stdout.write(`${JSON.stringify({ image: image.ReferencedSOPInstanceUID, boxes })}\n`)
process.exit(0)
