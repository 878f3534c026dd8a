// What a routed run is to do, from the local and the cloud run alone. Pure.

// What a score is told to: nine digits when it is explained, four in the header.
const rounding = (local) => (local.key ? 1e-9 : 5e-5);

// What `confidence < threshold` makes of a row, from the local and the cloud run alone.
export const paysBelow = (row, threshold) =>
  row.local.failed || (row.local.confidence !== null && row.local.confidence < threshold);

// Where the routed run went another way than predicted. explained: only by a score that its
// rounding hides on which side of the threshold it is.
export function compare(rows, threshold, routed) {
  const differences = [];
  rows.forEach((row, i) => {
    const paid = paysBelow(row, threshold),
      from = paid ? row.cloud : row.local,
      real = routed[i];
    const what = [];
    if (real.paid !== paid) what.push(`paid ${real.paid}, predicted ${paid}`);
    if (real.right !== from.right) what.push(`right ${real.right}, predicted ${from.right}`);
    else if (real.answer !== from.answer) what.push('another answer');
    if (Math.abs(real.cost - (paid ? row.cloud.cost : 0)) > 1e-9)
      what.push(`cost ${real.cost}, predicted ${paid ? row.cloud.cost : 0}`);
    if (!what.length) return;
    const near =
      row.local.confidence !== null &&
      Math.abs(row.local.confidence - threshold) <= rounding(row.local);
    differences.push({
      id: row.id,
      what,
      confidence: { predicted: row.local.confidence, real: real.confidence },
      explained: real.paid !== paid && near ? 'the score is the threshold, as far as told' : null,
      ...(real.error && { error: real.error }),
    });
  });
  return differences;
}
