# A node becomes its role: settings, then what holds its socket, then its release.
{% from 'map.jinja' import evctl, role with context %}

{% if role and evctl.get('release') %}
include:
  - toolkit
  - role.settings
  - role.{{ evctl.services }}
  - role.release
{% else %}
evctl-role-none:
  test.nop:
    - name: "no release for this node yet: {{ evctl.get('problem') or 'none is on channel stable' }}"
{% endif %}
