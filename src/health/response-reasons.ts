import { errors } from 'undici';
import { connectionReason } from './reasons.ts';

const SHOWN = 24;

/** What came instead of HTTP, as far as a line of a log takes it. */
function shownBytes(error: errors.HTTPParserError & { readonly data?: unknown }): string {
  const { data } = error;
  if (typeof data !== 'string' || data === '') return '';
  return `, at ${JSON.stringify(data.length > SHOWN ? `${data.slice(0, SHOWN)}…` : data)}`;
}

/** What undici says of answers that nobody asked for. */
const unasked: Readonly<Record<string, string>> = {
  'bad response': 'answered with status 100 to a request that has no body',
  'bad upgrade': 'answered with status 101, which leads to another protocol',
};

/**
 * Why a request had no usable answer, in words.
 * @param answered whether a status had come
 */
export function responseFailure(error: Error, answered: boolean): string {
  if (error instanceof errors.HTTPParserError) return `not an HTTP response${shownBytes(error)}`;
  if (error instanceof errors.HeadersOverflowError) return 'the headers of the response exceed 16 KiB';
  if (error instanceof errors.ResponseContentLengthMismatchError) return 'the body is not as long as it says';
  if (error instanceof errors.SocketError)
    return answered ? 'closed in the middle of the response' : (unasked[error.message] ?? 'closed without a response');
  return connectionReason(error);
}
