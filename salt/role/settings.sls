# The role's own settings, readable by the role's user alone.
{% from 'map.jinja' import evctl, root, role with context %}

{% if evctl.services == 'systemd' %}
evctl-role-group:
  group.present:
    - name: {{ evctl.user }}
    - gid: {{ evctl.uid }}
    - system: True

evctl-role-user:
  user.present:
    - name: {{ evctl.user }}
    - uid: {{ evctl.uid }}
    - gid: {{ evctl.uid }}
    - system: True
    - createhome: False
    - home: /nonexistent
    - shell: /usr/sbin/nologin
    - require:
      - group: evctl-role-group
{% endif %}

evctl-role-settings:
  file.serialize:
    - name: {{ root }}/etc/evctl/{{ role }}.yaml
    - makedirs: True
    - user: {{ evctl.user }}
    - mode: '0400'
    - show_changes: False
    - serializer: yaml
    - dataset: {{ evctl.get('settings', {}).get(role, {}) | json }}
