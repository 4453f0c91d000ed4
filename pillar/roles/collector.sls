# docs/settings.md has every setting of the event store and its default.
evctl:
  writable: [/srv/eventstore]
  settings:
    collector:
      data: file:///srv/eventstore
