# docs/settings.md has every setting of the event store and its default.
evctl:
  writable: [/srv/eventstore]
  settings:
    processor:
      data: file:///srv/eventstore
