# systemd holds the role's listening socket for the node's whole life. Generations share it; the
# anchor starts the current one at boot. docs/architecture.md has the process contract.
{% from 'map.jinja' import evctl, role, listen, admin_socket with context %}

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

evctl-role-run-folder:
  file.managed:
    - name: /etc/tmpfiles.d/evctl.conf
    - contents: d {{ evctl.run }} 0755 {{ evctl.user }} {{ evctl.user }}
    - mode: '0644'
  cmd.run:
    - name: systemd-tmpfiles --create /etc/tmpfiles.d/evctl.conf
    - onchanges:
      - file: evctl-role-run-folder

{% for unit, template in {
    'ev-' ~ role ~ '.socket': 'socket',
    'ev-' ~ role ~ '.service': 'anchor',
    'ev-' ~ role ~ '@.service': 'generation',
}.items() %}
evctl-role-unit-{{ template }}:
  file.managed:
    - name: /etc/systemd/system/{{ unit }}
    - source: salt://role/files/{{ template }}.jinja
    - template: jinja
    - mode: '0644'
    - context: {{ {
        'evctl': evctl, 'role': role, 'listen': listen, 'admin_socket': admin_socket,
      } | json }}
{% endfor %}

# While the master is silent, the node follows its last word.
{% for template in ('service', 'timer') %}
evctl-role-last-word-{{ template }}:
  file.managed:
    - name: /etc/systemd/system/evctl-last-word.{{ template }}
    - source: salt://role/files/last_word.{{ template }}
    - mode: '0644'
{% endfor %}

evctl-role-units-read:
  cmd.run:
    - name: systemctl daemon-reload
    - onchanges:
      - file: evctl-role-unit-socket
      - file: evctl-role-unit-anchor
      - file: evctl-role-unit-generation
      - file: evctl-role-last-word-service
      - file: evctl-role-last-word-timer

# What `systemctl enable` does, in a hundredth of the time.
{% for unit, target in {
    'ev-' ~ role ~ '.socket': 'sockets',
    'ev-' ~ role ~ '.service': 'multi-user',
    'evctl-last-word.timer': 'timers',
}.items() %}
evctl-role-at-boot-{{ target }}:
  file.symlink:
    - name: /etc/systemd/system/{{ target }}.target.wants/{{ unit }}
    - target: /etc/systemd/system/{{ unit }}
    - makedirs: True
{% endfor %}
