import type { Mutation } from './mutation.ts';
import { by } from './mutation.ts';

/** In what the program keeps of recent VIPs. All of them load. */
export const recentMutations: readonly Mutation[] = [
  {
    name: 'recent-through-changes',
    file: 'recent.h',
    find: 'recent->vips == vips &&',
    replace: '(recent->vips || vips) &&',
    breaks: 'a VIP that was moved or removed goes on as it was on CPUs that had packets for it',
    caughtBy: by('recent-vips', 'that removes it, a packet is nobody’s'),
  },
  {
    name: 'recent-kept-while-changing',
    file: 'recent.h',
    find: 'vips ? destination_tail(p) : 0;',
    replace: 'destination_tail(p);',
    breaks: 'what was looked up during one change of VIPs is taken during the next one',
    caughtBy: by('recent-vips', 'none is kept: not for the next packet, nor for the next change'),
  },
  {
    name: 'recent-of-any-port',
    file: 'recent.h',
    find: 'p->destination[1], destination_tail(p));',
    replace: 'p->destination[1], *(const __u32 *)&recent->entry.key.port);',
    breaks: 'two VIPs of one address whose places are the same are one',
    caughtBy: by('recent-vips', 'is not that of %s'),
  },
  {
    name: 'recent-of-any-address',
    file: 'recent.h',
    find: 'is_entry_of(&recent->entry, p->destination[0],',
    replace: 'is_entry_of(&recent->entry, *(const __u64 *)recent->entry.key.address,',
    breaks: 'two VIPs of one port whose places are the same are one',
    caughtBy: by('recent-vips', 'is not that of %s'),
  },
  {
    name: 'recent-under-key-of-vip',
    file: 'recent.h',
    find: '\t__builtin_memcpy(key->address, p->destination, sizeof(key->address));\n',
    replace: '',
    breaks: 'nothing but speed: an address in the prefix of a VIP is looked up by every packet',
    caughtBy: by('recent-vips', 'is taken for an address in its prefix and a port of all its ports'),
  },
  {
    name: 'room-despite-no-gateway',
    file: 'pilotfish.bpf.c',
    find: 'p->length + size > settings.room))',
    replace: 'p->length + size > settings.mtu))',
    breaks: 'packets leave for a next hop that is not known',
    caughtBy: by('reasons', 'the reason %s'),
  },
];
