import { createSecureContext, getCACertificates } from 'node:tls';

/**
 * Who may sign the certificates of reals: the CAs that this host trusts, and those that Node brings. Made once, when
 * the checking thread starts: it takes some 80 ms, in which no check could run.
 */
export const trust = createSecureContext({
  ca: [...new Set([...getCACertificates('default'), ...getCACertificates('system')])],
});
