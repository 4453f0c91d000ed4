# docs/settings.md has every setting of the event store and its default.
evctl:
  writable: [/srv/eventstore]
  settings:
    autoscaler:
      data: file:///srv/eventstore
