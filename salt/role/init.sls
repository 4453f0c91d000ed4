# A node becomes its role: what holds its socket, then its settings, then its release.
{% from 'map.jinja' import evctl, role with context %}

{% if role and evctl.get('release') %}
include:
  - toolkit
  - role.{{ evctl.services }}
  - role.settings
  - role.release

{% if evctl.services == 'systemd' %}
# After the release: on a new node it looks at once, and would take its time from the first one.
evctl-role-last-word-runs:
  service.running:
    - name: evctl-last-word.timer
    - require:
      - cmd: evctl-role-units-read
{% endif %}
{% else %}
evctl-role-none:
  test.nop:
    - name: "no release for this node yet: {{ evctl.get('problem') or 'none is on channel stable' }}"
{% endif %}
