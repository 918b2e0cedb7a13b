import { formatDuration } from '../core/duration.ts';
import type { BodyExpectation, Check, HttpCheck, HttpsCheck, StatusRange } from '../core/model.ts';

function writtenCommon({ port, intervalMs, timeoutMs, fastIntervalMs, downIntervalMs, rise, fall }: Check) {
  return {
    ...(port === null ? {} : { port }),
    interval: formatDuration(intervalMs),
    timeout: formatDuration(timeoutMs),
    fastInterval: formatDuration(fastIntervalMs),
    downInterval: formatDuration(downIntervalMs),
    rise,
    fall,
  };
}

function writtenStatus({ from, to }: StatusRange): string {
  return from === to ? String(from) : `${from}-${to}`;
}

function writtenBody(body: BodyExpectation): string {
  return 'contains' in body ? body.contains : `/${body.matches}/${body.ignoreCase ? 'i' : ''}`;
}

function writtenRequest({ method, path, host, headers, status, body }: HttpCheck | HttpsCheck) {
  return {
    method,
    path,
    ...(host === null ? {} : { host }),
    ...(headers.length === 0 ? {} : { headers: Object.fromEntries(headers) }),
    status: status.map(writtenStatus),
    ...(body === null ? {} : { body: writtenBody(body) }),
  };
}

/** What only checks of this type have. */
function writtenOwn(check: Check): object {
  switch (check.type) {
    case 'tcp':
      return {};
    case 'http':
      return writtenRequest(check);
    case 'https': {
      const { sni, verify } = check;
      return { ...writtenRequest(check), ...(sni === null ? {} : { sni }), verify };
    }
  }
}

/** As people write it in a state file, with every default. */
export function writtenCheck(check: Check) {
  return { type: check.type, ...writtenCommon(check), ...writtenOwn(check) };
}
