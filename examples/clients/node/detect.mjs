// Have an Oddwave service label the rows of a CSV: detect.mjs INPUT.csv OUTPUT.csv [URL].
// If ODDWAVE_API_KEY is set, it is sent as the key.

import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import axios from 'axios';

const ATTEMPTS = 3; // while the service is busy

/** What to tell the user. */
class Failure extends Error {}

/** Await something; if it fails, say what was tried. */
const orFail = (promise, message) =>
  promise.catch((error) => {
    throw new Failure(`${message}: ${error.message || error.code}`);
  });

/** Send a CSV and return the service's: time, label and score of every row. */
async function detect(table, address) {
  const response = await orFail(send(address, { csv: table.toString('base64') }), `Can't reach ${address}`);
  if (response.status !== 200) throw new Failure(refusal(response));
  const csv = response.data?.result?.csv;
  // Node decodes anything, so the form is looked at.
  if (typeof csv !== 'string' || csv.length % 4 || !/^[A-Za-z0-9+/]+={0,2}$/.test(csv)) {
    throw new Failure(`The answer of ${address} isn't the documented one.`);
  }
  return Buffer.from(csv, 'base64');
}

async function send(address, body) {
  const key = process.env.ODDWAVE_API_KEY;
  const options = {
    headers: key ? { Authorization: `Bearer ${key}` } : {},
    maxBodyLength: Infinity,
    timeout: 60_000,
    validateStatus: null, // every status is an answer
  };
  for (let attempt = 1; ; attempt++) {
    const response = await axios.post(address, body, options);
    if (response.status !== 503 || attempt === ATTEMPTS) return response;
    await sleep(1000 * pause(response.headers['retry-after']));
  }
}

const pause = (retryAfter = '') => (/^\d+$/.test(retryAfter) ? Math.min(Number(retryAfter), 30) : 1);

/** Why the service refused, in its own words if it gave any. */
function refusal({ status, data }) {
  if (!data?.errorMsg) return `The service answered with HTTP status ${status} and no reason.`;
  return `The service refused: ${data.errorMsg} (errorCode ${data.errorCode}, logId ${data.logId})`;
}

/** Write a file whole or not at all. */
async function save(path, content) {
  const part = `${path}.part`;
  try {
    await writeFile(part, content);
    await rename(part, path);
  } finally {
    await rm(part, { force: true });
  }
}

async function run(source, target, url = 'http://127.0.0.1:8080') {
  if (!target) throw new Failure('usage: detect.mjs INPUT.csv OUTPUT.csv [URL]');
  const table = await orFail(readFile(source), `Can't read ${source}`);
  const labelled = await detect(table, `${url.replace(/\/+$/, '')}/time-series-anomaly-detection`);
  await orFail(save(target, labelled), `Can't write ${target}`);
  const rows = labelled.toString().trimEnd().split('\n').slice(1);
  const anomalous = rows.filter((row) => row.split(',')[1] === '1'); // time, label, score
  console.log(`${target}: ${rows.length} rows, ${anomalous.length} of them anomalous`);
}

try {
  await run(...process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
