"""The laboratory: topologies, private namespaces, links, load, stacks under test, experiments."""
