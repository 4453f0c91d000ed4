# Where there is no systemd, the toolkit's own supervisor holds the role's socket.
{% from 'map.jinja' import evctl, root, role, listen with context %}

evctl-role-supervisor:
  file.serialize:
    - name: {{ root }}/etc/evctl/supervisor/{{ role }}.yaml
    - makedirs: True
    - mode: '0644'
    - serializer: yaml
    - dataset: {{ {
        'role': role,
        'node': evctl.id,
        'listen': listen,
        'env': evctl.get('environment', {}),
      } | json }}
