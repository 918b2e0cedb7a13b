/** Where an agent’s configuration is unless somebody says otherwise. In a file of its own so that help needs no more. */
export const defaultConfigPath = '/etc/pilotfish/agent.yaml';
