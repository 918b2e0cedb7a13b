import type { PeerCertificate, TLSSocket } from 'node:tls';
import { checkServerIdentity } from 'node:tls';
import { connectionReason } from './reasons.ts';

const UNKNOWN_CA = 'certificate is signed by a CA that this host does not trust';

/** What OpenSSL finds wrong with a certificate, where its own words are not plain. */
const chainMistakes: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'certificate has expired',
  CERT_NOT_YET_VALID: 'certificate is not valid yet',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_CA,
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_CA,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_CA,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: `${UNKNOWN_CA}, or its chain is incomplete`,
};

/** The alternative names as Node lists them, `DNS:a, IP Address:10.0.0.1`, without their kinds. */
function namesIn({ subjectaltname }: PeerCertificate): string {
  return subjectaltname?.replaceAll(/(DNS|IP Address|URI):/g, '') ?? 'no name';
}

/** What is wrong with the certificate that a server has shown, or null. `name` is a DNS name or an address. */
export function certificateMistake(tls: TLSSocket, name: string): string | null {
  // Node’s types say Error; it is a code of OpenSSL.
  const chain = tls.authorizationError;
  if (!tls.authorized) return chainMistakes[String(chain)] ?? `certificate is refused: ${chain}`;
  const certificate = tls.getPeerCertificate();
  if (checkServerIdentity(name, certificate) === undefined) return null;
  return `certificate is for ${namesIn(certificate)}, not for ${name}`;
}

/** Why a TLS handshake failed, in words. */
export function handshakeFailure(error: Error): string {
  const { code, syscall }: NodeJS.ErrnoException = error;
  const ended = code === 'ECONNRESET' && syscall === undefined;
  return `TLS handshake failed: ${ended ? 'closed by the real' : connectionReason(error)}`;
}
