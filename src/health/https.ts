import { connect } from 'node:tls';
import type { ResolvedCheck } from '../core/check-targets.ts';
import type { Checker } from './checker.ts';
import { exchange } from './exchange.ts';
import { probe } from './probe.ts';
import { certificateMistake, handshakeFailure } from './tls-reasons.ts';
import { trust } from './trust.ts';

/** As the http check, through TLS. Every handshake is a full one: resuming a session would show no certificate. */
export const httpsChecker: Checker<Extract<ResolvedCheck, { type: 'https' }>> = (address, check, signal) =>
  probe(address, check, signal, (connection) => {
    connection.waitFor('for the TLS handshake');
    const tls = connect({
      socket: connection.socket,
      secureContext: trust,
      // The certificate is looked at below: Node would close in order, and leave a TIME_WAIT for each bad one.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ALPNProtocols: ['http/1.1'],
      ...(check.sni === null ? {} : { servername: check.sni }),
    });
    const proceed = (): void => {
      // Since then the target may have been removed or the deadline have passed: there is no certificate any more.
      if (connection.over.aborted) return;
      tls.off('error', failHandshake);
      const mistake = check.verify ? certificateMistake(tls, check.sni ?? address) : null;
      if (mistake === null) exchange(connection, tls, address, check);
      else connection.fail(mistake);
    };
    const failHandshake = (error: Error): void => connection.fail(handshakeFailure(error));
    tls.once('error', failHandshake);
    // Not before OpenSSL has returned: this event comes from within its handshake, and letting go of a connection there
    // crashes the process.
    tls.once('secureConnect', () => setImmediate(proceed));
    connection.over.addEventListener('abort', () => tls.on('error', () => {}).destroy());
  });
