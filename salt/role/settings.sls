# The role's own settings, readable by the role's user alone. The last of what a release needs to
# start: a node that has them has it all.
{% from 'map.jinja' import evctl, root, role with context %}

include:
  - role.{{ evctl.services }}

evctl-role-settings:
  file.serialize:
    - name: {{ root }}/etc/evctl/{{ role }}.yaml
    - makedirs: True
    - user: {{ evctl.user }}
    - mode: '0400'
    - show_changes: False
    - serializer: yaml
    - dataset: {{ evctl.get('settings', {}).get(role, {}) | json }}
    - require:
      - sls: role.{{ evctl.services }}
